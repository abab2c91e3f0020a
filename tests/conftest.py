"""What holds for every test."""

import torch

# The suite's networks are tiny: a second thread costs more in waiting than it computes.
torch.set_num_threads(1)

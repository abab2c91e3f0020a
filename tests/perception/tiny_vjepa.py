from __future__ import annotations

import torch

TINY = {
    "crop_size": 32,
    "patch_size": 8,
    "tubelet_size": 2,
    "frames_per_clip": 8,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "pred_hidden_size": 24,
    "pred_num_hidden_layers": 1,
    "pred_num_attention_heads": 2,
    # Large weights, so that positions and attention matter to the output.
    "initializer_range": 0.2,
}


def save_tiny(folder, seed=0, model_class=None, **changes):
    """A random V-JEPA 2 in ``folder``, also biases and norms, and the model itself."""
    from transformers import VJEPA2Config, VJEPA2Model

    torch.manual_seed(seed)
    model = (model_class or VJEPA2Model)(VJEPA2Config(**{**TINY, **changes})).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("bias") or "norm" in name:
                weight.add_(0.3 * torch.randn_like(weight))
    model.save_pretrained(folder)
    return model

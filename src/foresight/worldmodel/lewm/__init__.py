"""LeWorldModel (arXiv 2603.19312): encoder and predictor learned together, end to end from pixels.

Next-embedding prediction with one regulariser (SIGReg) against collapse; no target network, no
stopped gradient, no reconstruction, no reward.
"""

"""What people look at after a run: plain arrays and tensors in, a matplotlib Figure out.

No module here knows Lightning or Hydra, or touches pyplot and its global list of figures; those that draw many runs
(sweep, ablation, style) load without torch.
"""

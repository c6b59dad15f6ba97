"""The networks, one file each: plain ``torch.nn`` modules, usable without Lightning or Hydra.

Every network takes ``image_shape`` (channels, height, width) and ``classes`` and maps float (B, C, H, W)
to float (B, classes). ``min_size`` is the smallest image side it can take, ``usual_input`` the image
shape and classes that its layer table is shown for when no data set is named.
"""

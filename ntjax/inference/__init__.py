"""A pre-trained model on devices: load it, predict with it, embed sequences."""

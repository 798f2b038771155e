"""Durable files: atomic text, sealed JSON, .npy, .npz, checkpoints."""

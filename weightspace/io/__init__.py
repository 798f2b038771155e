"""Durable files: atomic text, sealed JSON, checked .npy and .npz archives."""

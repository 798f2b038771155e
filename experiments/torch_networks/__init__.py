"""A pretrained encoder on networks that plain PyTorch trained."""

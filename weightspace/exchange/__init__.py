"""Zoos from others and for others.

  npy_import, npy_export  the `.npy` folders of the paper's authors
  npy_layout              what is in these folders
  imported                what is computed of zoos from others, and what is not
  tfds                    TensorFlow Datasets, as ArrayRecord
"""

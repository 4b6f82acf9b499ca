"""Encoded samples: their steps, figures and errors, in bounded memory."""

from .images import EncodedImage, EncodedImages, code_of, encode_images

__all__ = ["EncodedImage", "EncodedImages", "code_of", "encode_images"]

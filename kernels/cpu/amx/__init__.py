"""Convolutions by AMX tiles of bfloat16, as exact as float32."""

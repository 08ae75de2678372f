"""The blocks of SAM 3's tracker that SAM 2 does not have, one in each file.

vit      image → features at stride 14
pyramid  → 256 channels at strides 3.5, 7 and 14

What follows is `submit_sam2.modeling`.
"""

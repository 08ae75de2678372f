"""The network of SAM 2, one block of the paper per file.

hiera             image → features at strides 4, 8, 16 and 32
neck              → 256 channels at strides 4, 8 and 16
memory_attention  conditions the features of a frame on an object's memories
mask_decoder      → mask, its predicted IoU, presence of the object, pointer
memory_encoder    mask and features → memory for later frames
prompt_encoder    the given mask of the first frame
position          the four position encodings
attention         softmax attention, plain, rotary and in blocks
layers            perceptron and channel norm, used by the others
"""

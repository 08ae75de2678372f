"""The steps of post-processing, one in a file; see `submit.postprocess.step`."""

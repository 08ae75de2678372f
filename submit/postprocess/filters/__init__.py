"""The filters of post-processing, one in a file; see `submit.postprocess.filter`."""

"""The methods to merge runs, one in a file; see `submit.ensemble.method`."""

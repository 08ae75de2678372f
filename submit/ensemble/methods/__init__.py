"""The methods that merge runs, one in each file; see `submit.ensemble.method`."""

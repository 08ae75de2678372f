"""The machine: files, locks, cores, threads, and tables read from files."""

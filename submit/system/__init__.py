"""What the machine gives: files, locks, cores, and tables read from files."""

"""What is promised whatever comes in: no crash, no leak, no surprise in what is shipped."""

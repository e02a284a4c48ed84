"""What can be asked of the service, for one user: the profile, the orders, the session."""

"""What gateways send by: HTTP requests that know whether they were written, and Apprise."""

"""Service: execution of requests, jobs, history, access."""

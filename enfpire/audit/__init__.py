"""The audit: attackers that try to name the class from what the server sees, and the measures they are given."""

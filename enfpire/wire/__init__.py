"""What travels between the trust domains: messages, their bytes, the bundle, and every name on a broker.

Everything in this package is public and pure. Nothing in it does input or output.
"""

"""Talking to the exchange, the operator's Redis: query tasks in, replies out.

Clients never consume from it with Celery: kombu's unacknowledged keys are shared by all consumers, and with
them one client would read another's messages.
"""

"""The client: it alone holds photos, features, recognitions, and which candidate won."""

"""The processes of the application, a short shell each; run from a checkout or an image, never in the wheel."""

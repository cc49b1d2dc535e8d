"""The operator's offline work on its own photos: enrol, fit, calibrate, publish."""

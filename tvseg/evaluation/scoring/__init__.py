"""From runs and folders of masks to rows of cases."""

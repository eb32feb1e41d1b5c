"""Takes scans and tables from a folder of the user: LUNA16, all of it or a part, or other scans."""

"""The challenge: its rules, its tables and its official scans."""

"""What people read: summary, drawings."""

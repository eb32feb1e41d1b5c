"""How well networks tell real patches of nodules from others."""

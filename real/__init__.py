"""The method on a real model and real text: where both come from, and what was kept, against a key if there is one."""

"""How the profiler's process tells by its exit code why it ended itself; read by both sides of the pipe."""

EXIT_OVERDUE = 70
EXIT_OUT_OF_MEMORY = 71

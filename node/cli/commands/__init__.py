"""The commands, by subject. Each is a thin function: arguments in, one call, a view out."""

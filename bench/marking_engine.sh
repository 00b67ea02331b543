#!/bin/sh
# Marks the moment it was started, then becomes the engine. Arguments: PYTHON MARKS PORT
echo "spawned $(date +%s%N)" >> "$2"
exec "$1" -I -S "$(dirname "$0")/marking_engine.py" "$2" "$3"

#!/usr/bin/env bash
# Makes the tones of the people in the imitation: 2 s each, of which the second is looped. Needs ffmpeg.
set -euo pipefail
cd "$(dirname "$0")"

# Whole periods fit into a second, and none is a multiple of another.
for hz in 500 700 1100 1300 1700 1900; do
    ffmpeg -v error -y -f lavfi -i "sine=frequency=$hz:sample_rate=48000:duration=2.1" -af "volume=4" -ac 1 -c:a libopus -b:a 96k -vbr off \
        -frame_duration 20 -fflags +bitexact -flags:a +bitexact -map_metadata -1 "$hz.opus"
done

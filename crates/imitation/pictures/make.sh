#!/usr/bin/env bash
# Makes the pictures of the cameras in the imitation: black and white, each a key frame of VP8 and a frame that changes nothing. Needs ffmpeg.
set -euo pipefail
cd "$(dirname "$0")"

for colour in black white; do
    ffmpeg -v error -y -f lavfi -i "color=c=$colour:s=320x180:r=15:d=0.4" -pix_fmt yuv420p -c:v libvpx -b:v 100k -g 1000 -auto-alt-ref 0 \
        -lag-in-frames 0 -fflags +bitexact -flags:v +bitexact -map_metadata -1 "$colour.ivf"
done

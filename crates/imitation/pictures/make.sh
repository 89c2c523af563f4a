#!/usr/bin/env bash
# Makes the pictures of cameras and screens in the imitation: black and white, each a keyframe and an unchanged interframe, in each codec. Needs ffmpeg with
# libvpx, libx264 and libaom.
set -euo pipefail
cd "$(dirname "$0")"

make() { # colour, file, encoder and its options
    local colour=$1 file=$2
    shift 2
    ffmpeg -v error -y -f lavfi -i "color=c=$colour:s=320x180:r=15:d=0.4" -pix_fmt yuv420p -c:v "$@" -g 1000 -fflags +bitexact -flags:v +bitexact \
        -map_metadata -1 "$file"
}

for colour in black white; do
    make "$colour" "$colour.ivf" libvpx -b:v 100k -auto-alt-ref 0 -lag-in-frames 0
    make "$colour" "$colour.vp9.ivf" libvpx-vp9 -b:v 100k -auto-alt-ref 0 -lag-in-frames 0
    make "$colour" "$colour.av1.ivf" libaom-av1 -b:v 100k -cpu-used 8 -lag-in-frames 0
    make "$colour" "$colour.h264" libx264 -profile:v baseline -tune zerolatency -x264-params aud=0:sliced-threads=0:threads=1 \
        -bsf:v filter_units=remove_types=6
done

#!/usr/bin/env bash
# Makes the speech samples of the sandbox. Needs espeak-ng and opus-tools (`apt-get install espeak-ng opus-tools`), and ffmpeg for the tone.
set -euo pipefail
cd "$(dirname "$0")"

say() { # name, voice, pitch, words per minute, text
    espeak-ng -v "$2" -p "$3" -s "$4" --stdout "$5" |
        opusenc --quiet --downmix-mono --framesize 20 --bitrate 24 --hard-cbr --ignorelength \
            --serial 1 --discard-comments --discard-pictures - "$1.opus"
}

say alice en-us+f3 62 165 "Good morning everyone, and thank you for coming. Let us go through the plan for this week. The release is nearly ready, and I would like to hear where each of you stands before we decide on a date. Please be honest about the risks, we still have time."
say bob en-gb+m3 38 150 "Thank you, Alice. The recording service runs well. We measured it over the weekend, and not a single packet was lost. What is left is the documentation, and one open question about storage. I expect to be done by Thursday, if nothing comes in between."
say carol en-us+f5 80 175 "Sorry for being late, my train stood still for half an hour. From the customers I hear good things. Two of them want to start next month. They ask for captions, and for a shorter way to download the files. I will write it down and send it around today."

# 2 s of 1 kHz, for tests that look for it in recordings.
ffmpeg -v error -y -f lavfi -i "sine=frequency=1000:sample_rate=48000:duration=2" -af "volume=4" -ac 1 -c:a libopus -b:a 24k -vbr off \
    -frame_duration 20 -fflags +bitexact -flags:a +bitexact -map_metadata -1 tone.opus

# 2 s of a quiet room, at -57 dB of full scale on average, and Alice at -45, to test the detection of silence.
encode=(-ac 1 -ar 48000 -c:a libopus -b:a 24k -vbr off -frame_duration 20 -fflags +bitexact -flags:a +bitexact -map_metadata -1)
ffmpeg -v error -y -f lavfi -i "anoisesrc=color=pink:sample_rate=48000:duration=2:seed=1" -af "volume=-41dB" "${encode[@]}" room.opus
ffmpeg -v error -y -t 6 -i alice.opus -af "volume=-24dB" "${encode[@]}" whisper.opus

# The level of each packet of a voice, in dB below full scale (RFC 6464), at most 42: pauses between words are part of speech.
for voice in alice bob carol; do
    ffmpeg -v error -flags2 +skip_manual -i $voice.opus -f s16le -ac 1 -ar 48000 - | od -An -v -t d2 -w1920 |
        awk '{ sum = 0; for (i = 1; i <= NF; i++) sum += $i * $i; db = sum ? -10 * log(sum / NF / 32767 ^ 2) / log(10) : 127; print int(db < 42 ? db : 42) }' |
        paste -sd' ' | fold -sw 160 | sed 's/ $//' >$voice.levels
done

#!/bin/sh
# Makes the audio files that the decoding tests read: half a second of a 1 kHz tone in each format.
# Needs ffmpeg and sox. What it makes is committed.
set -eu
cd "$(dirname "$0")"
tone() { # file, source rate, channels, then the encoder's options
    file=$1 rate=$2 layout="mono|c0=c0"
    if [ "$3" = 2 ]; then layout="stereo|c0=c0|c1=c0"; fi
    shift 3
    ffmpeg -hide_banner -loglevel error -y -f lavfi -i "sine=frequency=1000:sample_rate=$rate:duration=0.5" \
        -af "volume=4,pan=$layout" -map_metadata -1 -fflags +bitexact -flags:a +bitexact "$@" "$file"
}
tone pcm-u8-8k.wav 8000 1 -c:a pcm_u8
tone pcm-s16-8k.wav 8000 1 -c:a pcm_s16le
tone pcm-s16-16k.wav 16000 1 -c:a pcm_s16le
tone pcm-s24-16k.wav 16000 1 -c:a pcm_s24le
tone pcm-s32-8k.wav 8000 1 -c:a pcm_s32le
tone float32-8k.wav 8000 1 -c:a pcm_f32le
tone ulaw-8k.wav 8000 1 -c:a pcm_mulaw
tone alaw-8k.wav 8000 1 -c:a pcm_alaw
tone mono-44k.flac 44100 1 -c:a flac
tone stereo-22k.flac 22050 2 -c:a flac
tone mono-48k.flac 48000 1 -c:a flac
tone mono-44k.mp3 44100 1 -c:a libmp3lame -b:a 64k
tone stereo-48k.mp3 48000 2 -c:a libmp3lame -b:a 128k
tone mono-22k.mp3 22050 1 -c:a libmp3lame -b:a 32k -write_xing 0
tone stereo-44k.ogg 44100 2 -c:a libvorbis -q:a 4
tone mono-48k.ogg 48000 1 -c:a libvorbis -q:a 4
tone stereo-44k.m4a 44100 2 -c:a aac -b:a 96k -f ipod
tone mono-48k.m4a 48000 1 -c:a aac -b:a 64k -f ipod -movflags +faststart
tone mono-16k.aac 16000 1 -c:a aac -b:a 32k -f adts
# The second channel silent, cut short so that the file stays small.
sox -D -R -n -r 44100 -b 16 left-44k.wav synth 0.15 sine 1000 gain -3 remix 1 0
# Keys as a phone without telephone-event sends them: speech, then all sixteen of different lengths (60 to 120 ms) with
# pauses of 60 to 100 ms and the high tone 2 dB louder, over a quiet voice and noise, then speech again.
prompts=../../../prompts/en
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
key() { # file, seconds, pause after it, low tone, high tone
    sox -D -R -m -v 1 "|sox -D -R -n -r 8000 -p synth $2 sine $4 gain -14" \
        -v 1 "|sox -D -R -n -r 8000 -p synth $2 sine $5 gain -12" -r 8000 -b 16 "$work/$1.wav" pad 0 "$3"
}
key 01 0.10 0.10 697 1209 # 1
key 02 0.06 0.06 852 1477 # 9
key 03 0.08 0.08 852 1209 # 7
key 04 0.12 0.06 697 1477 # 3
key 05 0.06 0.10 941 1336 # 0
key 06 0.07 0.07 941 1336 # 0
key 07 0.08 0.06 770 1336 # 5
key 08 0.09 0.06 697 1336 # 2
key 09 0.06 0.08 770 1209 # 4
key 10 0.07 0.06 852 1336 # 8
key 11 0.08 0.07 770 1477 # 6
key 12 0.06 0.06 941 1209 # *
key 13 0.08 0.08 697 1633 # A
key 14 0.07 0.06 770 1633 # B
key 15 0.09 0.07 852 1633 # C
key 16 0.06 0.06 941 1633 # D
key 17 0.10 0.10 941 1477 # pound
sox -D -R "$prompts/please-enter-your-account-number.wav" "$work"/[01]?.wav "$prompts/thank-you.wav" "$work/dry.wav"
seconds=$(soxi -D "$work/dry.wav")
sox -D -R -m -v 1 "$work/dry.wav" -v 0.04 "|sox -D $prompts/demo-menu.wav -p trim 0 $seconds" \
    -v 1 "|sox -D -R -n -r 8000 -p synth $seconds pinknoise gain -46" -b 16 dtmf-and-speech.wav

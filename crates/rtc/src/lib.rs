//! WebRTC over UDP: a peer, its tracks, its data channels. Knows no platform.

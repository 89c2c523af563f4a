//! The scripted meeting: the other side of a call, played over real WebRTC.

package meetbot

import (
	"encoding/json"

	"github.com/meetbot-dev/meetbot/sdk-go/internal/wire"
)

// All models read and write JSON alike: names in their exact spelling, null for what is missing, a value of another type is an error, and what this version
// does not know comes and goes through Extra.

// read reads an object of the API.
func read[T any, P interface {
	*T
	json.Unmarshaler
}](body []byte) (*T, error) {
	made := P(new(T))
	return made, made.UnmarshalJSON(body)
}

// elements reads a page of such objects.
func elements[T any, P interface {
	*T
	json.Unmarshaler
}](body []byte) (data []*T, next string, err error) {
	data = []*T{}
	next, err = wire.ReadPage(body, func(element []byte) error {
		one, err := read[T, P](element)
		data = append(data, one)
		return err
	})
	return data, next, err
}

// UnmarshalJSON reads a Job as the API sends it.
func (m *Job) UnmarshalJSON(data []byte) error {
	*m = Job{}
	return wire.Read(data, m)
}

// MarshalJSON writes a Job as the API sends it.
func (m Job) MarshalJSON() ([]byte, error) { return wire.Write(m) }

// UnmarshalJSON reads a Recording as the API sends it.
func (m *Recording) UnmarshalJSON(data []byte) error {
	*m = Recording{}
	return wire.Read(data, m)
}

// MarshalJSON writes a Recording as the API sends it.
func (m Recording) MarshalJSON() ([]byte, error) { return wire.Write(m) }

// UnmarshalJSON reads a Webhooks as the API sends it.
func (m *Webhooks) UnmarshalJSON(data []byte) error {
	*m = Webhooks{}
	return wire.Read(data, m)
}

// MarshalJSON writes a Webhooks as the API sends it.
func (m Webhooks) MarshalJSON() ([]byte, error) { return wire.Write(m) }

// UnmarshalJSON reads an AutoLeave as the API sends it.
func (m *AutoLeave) UnmarshalJSON(data []byte) error {
	*m = AutoLeave{}
	return wire.Read(data, m)
}

// MarshalJSON writes an AutoLeave as the API sends it.
func (m AutoLeave) MarshalJSON() ([]byte, error) { return wire.Write(m) }

// UnmarshalJSON reads a ControlResult as the API sends it.
func (m *ControlResult) UnmarshalJSON(data []byte) error {
	*m = ControlResult{}
	return wire.Read(data, m)
}

// MarshalJSON writes a ControlResult as the API sends it.
func (m ControlResult) MarshalJSON() ([]byte, error) { return wire.Write(m) }

// UnmarshalJSON reads a DeletionReceipt as the API sends it.
func (m *DeletionReceipt) UnmarshalJSON(data []byte) error {
	*m = DeletionReceipt{}
	return wire.Read(data, m)
}

// MarshalJSON writes a DeletionReceipt as the API sends it.
func (m DeletionReceipt) MarshalJSON() ([]byte, error) { return wire.Write(m) }

// UnmarshalJSON reads a RemovedObject as the API sends it.
func (m *RemovedObject) UnmarshalJSON(data []byte) error {
	*m = RemovedObject{}
	return wire.Read(data, m)
}

// MarshalJSON writes a RemovedObject as the API sends it.
func (m RemovedObject) MarshalJSON() ([]byte, error) { return wire.Write(m) }

// UnmarshalJSON reads an ErasureReceipt as the API sends it.
func (m *ErasureReceipt) UnmarshalJSON(data []byte) error {
	*m = ErasureReceipt{}
	return wire.Read(data, m)
}

// MarshalJSON writes an ErasureReceipt as the API sends it.
func (m ErasureReceipt) MarshalJSON() ([]byte, error) { return wire.Write(m) }

// UnmarshalJSON reads a Usage as the API sends it.
func (m *Usage) UnmarshalJSON(data []byte) error {
	*m = Usage{}
	return wire.Read(data, m)
}

// MarshalJSON writes a Usage as the API sends it.
func (m Usage) MarshalJSON() ([]byte, error) { return wire.Write(m) }

// UnmarshalJSON reads a PlatformAvailability as the API sends it.
func (m *PlatformAvailability) UnmarshalJSON(data []byte) error {
	*m = PlatformAvailability{}
	return wire.Read(data, m)
}

// MarshalJSON writes a PlatformAvailability as the API sends it.
func (m PlatformAvailability) MarshalJSON() ([]byte, error) { return wire.Write(m) }

// UnmarshalJSON reads a MissingRequirement as the API sends it.
func (m *MissingRequirement) UnmarshalJSON(data []byte) error {
	*m = MissingRequirement{}
	return wire.Read(data, m)
}

// MarshalJSON writes a MissingRequirement as the API sends it.
func (m MissingRequirement) MarshalJSON() ([]byte, error) { return wire.Write(m) }

// UnmarshalJSON reads a Host as the API sends it.
func (m *Host) UnmarshalJSON(data []byte) error {
	*m = Host{}
	return wire.Read(data, m)
}

// MarshalJSON writes a Host as the API sends it.
func (m Host) MarshalJSON() ([]byte, error) { return wire.Write(m) }

// UnmarshalJSON reads a HostCPU as the API sends it.
func (m *HostCPU) UnmarshalJSON(data []byte) error {
	*m = HostCPU{}
	return wire.Read(data, m)
}

// MarshalJSON writes a HostCPU as the API sends it.
func (m HostCPU) MarshalJSON() ([]byte, error) { return wire.Write(m) }

// UnmarshalJSON reads a HostMemory as the API sends it.
func (m *HostMemory) UnmarshalJSON(data []byte) error {
	*m = HostMemory{}
	return wire.Read(data, m)
}

// MarshalJSON writes a HostMemory as the API sends it.
func (m HostMemory) MarshalJSON() ([]byte, error) { return wire.Write(m) }

// UnmarshalJSON reads a HostDisk as the API sends it.
func (m *HostDisk) UnmarshalJSON(data []byte) error {
	*m = HostDisk{}
	return wire.Read(data, m)
}

// MarshalJSON writes a HostDisk as the API sends it.
func (m HostDisk) MarshalJSON() ([]byte, error) { return wire.Write(m) }

// UnmarshalJSON reads a HostBots as the API sends it.
func (m *HostBots) UnmarshalJSON(data []byte) error {
	*m = HostBots{}
	return wire.Read(data, m)
}

// MarshalJSON writes a HostBots as the API sends it.
func (m HostBots) MarshalJSON() ([]byte, error) { return wire.Write(m) }

// UnmarshalJSON reads a Delivery as the API sends it.
func (m *Delivery) UnmarshalJSON(data []byte) error {
	*m = Delivery{}
	return wire.Read(data, m)
}

// MarshalJSON writes a Delivery as the API sends it.
func (m Delivery) MarshalJSON() ([]byte, error) { return wire.Write(m) }

// UnmarshalJSON reads an Endpoint as the API sends it.
func (m *Endpoint) UnmarshalJSON(data []byte) error {
	*m = Endpoint{}
	return wire.Read(data, m)
}

// MarshalJSON writes an Endpoint as the API sends it.
func (m Endpoint) MarshalJSON() ([]byte, error) { return wire.Write(m) }

// UnmarshalJSON reads a DeliveryTry as the API sends it.
func (m *DeliveryTry) UnmarshalJSON(data []byte) error {
	*m = DeliveryTry{}
	return wire.Read(data, m)
}

// MarshalJSON writes a DeliveryTry as the API sends it.
func (m DeliveryTry) MarshalJSON() ([]byte, error) { return wire.Write(m) }

// UnmarshalJSON reads a Manifest as the API sends it.
func (m *Manifest) UnmarshalJSON(data []byte) error {
	*m = Manifest{}
	return wire.Read(data, m)
}

// MarshalJSON writes a Manifest as the API sends it.
func (m Manifest) MarshalJSON() ([]byte, error) { return wire.Write(m) }

// UnmarshalJSON reads a Mixed as the API sends it.
func (m *Mixed) UnmarshalJSON(data []byte) error {
	*m = Mixed{}
	return wire.Read(data, m)
}

// MarshalJSON writes a Mixed as the API sends it.
func (m Mixed) MarshalJSON() ([]byte, error) { return wire.Write(m) }

// UnmarshalJSON reads a ManifestParticipant as the API sends it.
func (m *ManifestParticipant) UnmarshalJSON(data []byte) error {
	*m = ManifestParticipant{}
	return wire.Read(data, m)
}

// MarshalJSON writes a ManifestParticipant as the API sends it.
func (m ManifestParticipant) MarshalJSON() ([]byte, error) { return wire.Write(m) }

// UnmarshalJSON reads a Track as the API sends it.
func (m *Track) UnmarshalJSON(data []byte) error {
	*m = Track{}
	return wire.Read(data, m)
}

// MarshalJSON writes a Track as the API sends it.
func (m Track) MarshalJSON() ([]byte, error) { return wire.Write(m) }

// UnmarshalJSON reads a Gap as the API sends it.
func (m *Gap) UnmarshalJSON(data []byte) error {
	*m = Gap{}
	return wire.Read(data, m)
}

// MarshalJSON writes a Gap as the API sends it.
func (m Gap) MarshalJSON() ([]byte, error) { return wire.Write(m) }

// UnmarshalJSON reads a Span as the API sends it.
func (m *Span) UnmarshalJSON(data []byte) error {
	*m = Span{}
	return wire.Read(data, m)
}

// MarshalJSON writes a Span as the API sends it.
func (m Span) MarshalJSON() ([]byte, error) { return wire.Write(m) }

// UnmarshalJSON reads an Attempt as the API sends it.
func (m *Attempt) UnmarshalJSON(data []byte) error {
	*m = Attempt{}
	return wire.Read(data, m)
}

// MarshalJSON writes an Attempt as the API sends it.
func (m Attempt) MarshalJSON() ([]byte, error) { return wire.Write(m) }

// UnmarshalJSON reads a ManifestFile as the API sends it.
func (m *ManifestFile) UnmarshalJSON(data []byte) error {
	*m = ManifestFile{}
	return wire.Read(data, m)
}

// MarshalJSON writes a ManifestFile as the API sends it.
func (m ManifestFile) MarshalJSON() ([]byte, error) { return wire.Write(m) }

// MarshalJSON writes a TimelineEvent as the API sends it.
func (e TimelineEvent) MarshalJSON() ([]byte, error) { return wire.Write(e) }

// MarshalJSON writes a WebhookEvent as the API sends it.
func (e WebhookEvent) MarshalJSON() ([]byte, error) { return wire.Write(e) }

// UnmarshalJSON reads a ChatMessage as the API sends it.
func (m *ChatMessage) UnmarshalJSON(data []byte) error {
	*m = ChatMessage{}
	return wire.Read(data, m)
}

// MarshalJSON writes a ChatMessage as the API sends it.
func (m ChatMessage) MarshalJSON() ([]byte, error) { return wire.Write(m) }

// UnmarshalJSON reads a Participant as the API sends it.
func (m *Participant) UnmarshalJSON(data []byte) error {
	*m = Participant{}
	return wire.Read(data, m)
}

// MarshalJSON writes a Participant as the API sends it.
func (m Participant) MarshalJSON() ([]byte, error) { return wire.Write(m) }

// UnmarshalJSON reads an UnavailableTrack as the API sends it.
func (m *UnavailableTrack) UnmarshalJSON(data []byte) error {
	*m = UnavailableTrack{}
	return wire.Read(data, m)
}

// MarshalJSON writes an UnavailableTrack as the API sends it.
func (m UnavailableTrack) MarshalJSON() ([]byte, error) { return wire.Write(m) }

// UnmarshalJSON reads a SpeakingSpan as the API sends it.
func (m *SpeakingSpan) UnmarshalJSON(data []byte) error {
	*m = SpeakingSpan{}
	return wire.Read(data, m)
}

// MarshalJSON writes a SpeakingSpan as the API sends it.
func (m SpeakingSpan) MarshalJSON() ([]byte, error) { return wire.Write(m) }

// UnmarshalJSON reads a Caption as the API sends it.
func (m *Caption) UnmarshalJSON(data []byte) error {
	*m = Caption{}
	return wire.Read(data, m)
}

// MarshalJSON writes a Caption as the API sends it.
func (m Caption) MarshalJSON() ([]byte, error) { return wire.Write(m) }

// UnmarshalJSON reads a RecordingEvent as the API sends it.
func (m *RecordingEvent) UnmarshalJSON(data []byte) error {
	*m = RecordingEvent{}
	return wire.Read(data, m)
}

// MarshalJSON writes a RecordingEvent as the API sends it.
func (m RecordingEvent) MarshalJSON() ([]byte, error) { return wire.Write(m) }

package webhook

import (
	"fmt"
	"testing"
)

func TestTheLastTenThousandDeliveriesAreRemembered(t *testing.T) {
	var m memory
	for delivery := range 3 * remembered {
		for range 2 {
			if err := m.Add(t.Context(), fmt.Sprint(delivery)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for delivery, known := range map[int]bool{0: false, 2*remembered - 1: false, 2 * remembered: true, 3*remembered - 1: true, 3 * remembered: false} {
		if found, err := m.Has(t.Context(), fmt.Sprint(delivery)); found != known || err != nil {
			t.Error(delivery, found, err)
		}
	}
	if len(m.known) != remembered {
		t.Error(len(m.known))
	}
}

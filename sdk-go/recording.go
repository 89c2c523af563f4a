package meetbot

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// longestMix is how long a download waits at most for a mix that is still to be made.
const longestMix = 10 * time.Minute

// DownloadArtifacts writes everything that was recorded into the folder, which is made where it is missing: the files of the manifest, each checked by its SHA-256,
// then manifest.json. It answers where they are. A file is written beside its place and moved there when it is whole; nothing is left of one that failed.
//
// A job ends before its mix is made. While the manifest says that it is pending, this waits for it, for ten minutes at most; [WithoutWaitingForMix] takes the files
// that there are.
//
// [ErrNotFound] until there is a manifest, [ErrFile] for a file that cannot be written, [ErrDecode] for one that is not what the manifest says.
func (c *Client) DownloadArtifacts(ctx context.Context, jobID, folder string, options ...CallOption) ([]string, error) {
	if _, wrong := c.prepare(ctx, options); wrong != nil {
		return nil, wrong
	}
	manifest, err := c.finalManifest(ctx, jobID, options)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return nil, fileError(err)
	}
	var paths []string
	for _, file := range append(manifest.Files, ManifestFile{Name: "manifest.json"}) {
		if !isFlat(file.Name) {
			return paths, &Error{Kind: ErrDecode, Message: fmt.Sprintf("the manifest names a file %q, which is no file's name", file.Name), Attempts: 1}
		}
		path := filepath.Join(folder, file.Name)
		expecting := append(append([]CallOption{}, options...), WithExpected(file))
		if err := c.downloadFile(ctx, jobID, file.Name, path, expecting); err != nil {
			return paths, err
		}
		paths = append(paths, path)
	}
	return paths, nil
}

// finalManifest is the manifest, once its mix is pending no more, or has been for too long.
func (c *Client) finalManifest(ctx context.Context, jobID string, options []CallOption) (*Manifest, error) {
	began := time.Now()
	for {
		manifest, err := c.Manifest(ctx, jobID, options...)
		if err != nil || manifest.Mixed.State != MixPending || c.options.with(options).skipMix {
			return manifest, err
		}
		pause, again := mixPause(time.Since(began))
		if !again {
			return manifest, nil
		}
		if given := c.core.exchange.Sleep(ctx, pause); given != nil {
			return nil, c.core.failureError(given)
		}
	}
}

// mixPause is how long to wait before the manifest of a pending mix is asked for again, after having waited for so long: a tenth of that. It is false after the
// longest time.
func mixPause(waited time.Duration) (time.Duration, bool) {
	left := longestMix - waited
	return min(max(waited/10, 200*time.Millisecond), 5*time.Second, left), left > 0
}

// downloadFile writes a file beside its place, and moves it there when it is whole.
func (c *Client) downloadFile(ctx context.Context, jobID, name, path string, options []CallOption) (err error) {
	// A name of its own: two downloads of one file do not write into each other's.
	part := path + "." + strings.ToLower(rand.Text()[:8]) + ".part"
	file, err := os.OpenFile(part, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
	if err != nil {
		return fileError(err)
	}
	defer func() {
		if err != nil {
			_ = file.Close()
			_ = os.Remove(part)
		}
	}()
	if _, err = c.DownloadArtifact(ctx, jobID, name, file, options...); err != nil {
		return err
	}
	for _, finish := range []func() error{file.Sync, file.Close, func() error { return os.Rename(part, path) }} {
		if err = finish(); err != nil {
			return fileError(err)
		}
	}
	return nil
}

func fileError(err error) error { return &Error{Kind: ErrFile, Message: err.Error(), Err: err} }

// isFlat says whether it is the name of a file in a folder, and leads nowhere else.
func isFlat(name string) bool {
	return name != "" && name != "." && name != ".." && !strings.ContainsAny(name, "/\\\x00") && filepath.IsLocal(name)
}

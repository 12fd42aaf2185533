// Streams content up to an echoing server with Go's net/http and back, sized and chunked; compares
// SHA-256.
//
//	stream -url URL [-mib 8]
package main

import (
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	"io"
	"math/rand"
	"net/http"
	"os"
)

// echo sends len bytes and tells whether the same came back.
func echo(url string, length int64, sized bool) error {
	sent, received := sha256.New(), sha256.New()
	source := io.LimitReader(rand.New(rand.NewSource(length)), length)
	request, err := http.NewRequest("POST", url, io.TeeReader(source, sent))
	if err != nil {
		return err
	}
	request.ContentLength = -1
	if sized {
		request.ContentLength = length
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	count, err := io.Copy(received, response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != 200 || !bytes.Equal(sent.Sum(nil), received.Sum(nil)) {
		return fmt.Errorf("status %d, %d of %d bytes came back", response.StatusCode, count, length)
	}
	return nil
}

func main() {
	url := flag.String("url", "http://localhost:8080/", "an echoing server")
	mib := flag.Int64("mib", 8, "how much to send")
	flag.Parse()
	for _, sized := range []bool{true, false} {
		if err := echo(*url, *mib<<20, sized); err != nil {
			fmt.Fprintf(os.Stderr, "sized %t: %v\n", sized, err)
			os.Exit(1)
		}
	}
	fmt.Printf("%d MiB up and down, sized and chunked: equal\n", *mib)
}

package main

import (
	_ "github.com/minio/minio/internal/init"

	"os"

	"github.com/minio/minio/cmd"
)

func main() {
	serve(cmd.Verifier(os.Getenv("VERIFIER_KEY"), os.Getenv("VERIFIER_SECRET"), os.Getenv("VERIFIER_REGION"), os.Getenv("VERIFIER_PART")))
}

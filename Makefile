.PHONY: test race ci demo bench
test: ; go test work
race: ; go test -race work
ci: ; .ci/run
demo: ; go run ./examples/customization demo
bench: ; go -C bench run . kmsctx && go -C bench run . request

# meshbind as a container image: what runs, and nothing else. docs/image.md says how to build, verify and use it;
# test/image.test.ts carries out these instructions without an engine and runs what comes of them.

# Tags, for a try alone: `make image` and the release put digests in their place. Both bases must hold a Node that
# package.json's `engines` allows: the build refuses another in the first, what tries the image another in the second.
ARG BUILD_BASE=node:24-trixie-slim
ARG RUN_BASE=gcr.io/distroless/nodejs24-debian13:nonroot

# What is made here is JavaScript, the same for every platform: so it is made on the builder's own.
FROM --platform=$BUILDPLATFORM ${BUILD_BASE} AS build
WORKDIR /meshbind
COPY package.json package-lock.json ./
# No install script runs (package.json, allowScripts): the `node` package would fetch a Node that is here already.
RUN --mount=type=cache,target=/root/.npm npm ci --engine-strict --ignore-scripts --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY src ./src
RUN npm run build -- --declaration false --sourceMap false
# After the build, so that a new commit alone builds nothing anew.
ARG COMMIT=unknown
RUN echo "$COMMIT" > dist/COMMIT

FROM --platform=$BUILDPLATFORM ${BUILD_BASE} AS production
WORKDIR /meshbind
COPY package.json package-lock.json ./
# OpenTelemetry's packages are optional peers (docs/traces.md). The image has them, as the environment switches traces
# on: peers that are not optional are installed, and at the lockfile's versions and hashes.
RUN npm pkg delete devDependencies peerDependenciesMeta
RUN --mount=type=cache,target=/root/.npm npm ci --engine-strict --ignore-scripts --no-audit --no-fund
RUN npm sbom --sbom-format cyclonedx --sbom-type application > sbom.cdx.json
# Types, sources and source maps of packages: more than half of their size, and nothing that runs.
RUN find node_modules -type f -name '*.[cm]ts' -delete -o -type f -name '*.ts' -delete -o -type f -name '*.map' -delete

FROM ${RUN_BASE}
ARG RUN_BASE
ARG VERSION=unknown
ARG COMMIT=unknown
ARG SOURCE_URL=
LABEL org.opencontainers.image.title="meshbind" \
  org.opencontainers.image.description="Envoy and Istio external authorization that allows a token only from the workload it is bound to" \
  org.opencontainers.image.licenses="Apache-2.0" \
  org.opencontainers.image.version="${VERSION}" \
  org.opencontainers.image.revision="${COMMIT}" \
  org.opencontainers.image.source="${SOURCE_URL}" \
  org.opencontainers.image.url="${SOURCE_URL}" \
  org.opencontainers.image.base.name="${RUN_BASE}"
WORKDIR /meshbind
COPY package.json LICENSE ./
COPY protos ./protos
COPY --from=production /meshbind/node_modules ./node_modules
COPY --from=production /meshbind/sbom.cdx.json ./sbom.cdx.json
COPY --from=build /meshbind/dist ./dist
ENV NODE_ENV=production
# Checks, admin and probes. Without `--listen`, `--admin` and `--probe`, serve listens on loopback alone.
EXPOSE 9191 9464 9465
# A number, as Kubernetes cannot tell of a name that it is not root (runAsNonRoot).
USER 65532:65532
ENTRYPOINT ["/nodejs/bin/node", "/meshbind/dist/main.js"]
CMD ["serve"]

/** OpenSSF model signatures of a version; their bytes are blobs. */
export const name = '005-model-signatures'

export const statements = [
  `create table model_signature (model text not null, version text not null, sha256 text not null,
    size_bytes bigint not null, hint text not null, root text not null, added_at bigint not null, added_by text not null,
    primary key (model, version, sha256))`,
]

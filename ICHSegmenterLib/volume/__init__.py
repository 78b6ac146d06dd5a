"""CT volumes: geometry, reading and writing.

A map: `volume` is a head CT in memory, `geometry` where its voxels lie, `hounsfield` what its values mean. `io` reads
anything into a volume: NIfTI by `nifti` (nibabel), NRRD and MetaImage by `image_files` (SimpleITK), DICOM by `dicom`.
That one finds `files`, groups them into `series`, takes the `frames` of each, orders and checks them (`slices`,
`stack`, `passes`) and decodes their `pixels`. `export` writes whole files or nothing.
"""

-- AlterTable
ALTER TABLE "messages" DROP COLUMN "rating";

-- AlterTable
ALTER TABLE "complexity_estimation" ALTER COLUMN "reasoning" DROP DEFAULT;

-- DropEnum
DROP TYPE "rating";
